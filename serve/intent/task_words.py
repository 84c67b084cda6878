"""The words by which people and clients order a task on text that they hand over. Patterns, no decisions.

Patterns that end in `_ORDER` match an order from its verb on; the others are searched for anywhere in a sentence.

    TRANSFORM_ORDER.match("extract the person: John is 30 years old.")
"""

from __future__ import annotations

import re


def _pattern(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(alternatives), re.IGNORECASE)


def _any(*words: str) -> str:
    return f"(?:{'|'.join(' '.join(words).split())})"


# What stands before an order: politeness, a heading, who is to do it, an adverb
POLITE_ORDER = _pattern(
    r"(?:(?:hi|hello|hey|ok|okay|thanks|thank you|great|now|and|then|so|also|please|pls|kindly|just|first|next)\b"
    r"[\s,.!:]*|(?:can|could|would|will) you\s+(?:please\s+)?|i(?:'d| would)? (?:want|need|like) you to\s+"
    r"|your (?:task|job|role) is to\s+|you (?:must|should|will|have to|need to|are to)\s+|you\s+(?=\w)|help me (?:to )?"
    r"|task\s*:\s*|[#*>\s]+|(?!(?:re|ap|sup|multi)ply\b)\w+ly\s+)+"
)
# "Based on the answer below, ": on what the order is to be done
ON_WHAT_ORDER = _pattern(
    r"from (?:this|these|the) \w+\s+(?=give|tell|list|name|get)|(?:based on|given|from|using|with|in|for|as|after"
    r"|considering|looking at|here (?:is|are)|you (?:will be|are) (?:given|provided with))\b[^,:\n]{0,120}[,:]\s*"
    r"(?:and (?:an?|the) [^,:\n]{0,60},\s*)?"
)

# Text that somebody hands over, by its kind. Prose is what no document of ours explains
_PROSE = (
    "texts? sentences? paragraphs? e-?mails? mails? letters? article story essay poem reviews? notes? abstract"
    " conversation chat discussion dialogue transcript passages? invoice receipt resume cv contract answers? responses?"
    " minutes news post speech outline caption joke template facts"
)
_WORK = "diff commits? patch changes?"
_TEXT = (
    f"{_PROSE} {_WORK} thread session page choices documents? lists? lines? rows? words? items? tables? csv json yaml"
    " xml messages? content inputs? outputs? statements? claims? code functions? class method snippet files? data"
    " values? description title query question prompt selection cells? python javascript typescript history variable"
    " object"
)
OWN_TEXT = _pattern(
    rf"\b(?:this|these|my|our|your|each|every|given|following|selected)\s+(?:[\w'-]+\s+){{0,3}}?{_any(_TEXT)}\b",
    rf"\b(?:the|an?)\s+(?:[\w'-]+\s+){{0,2}}?{_any(_PROSE)}\b"
    rf"|\b{_any(_TEXT)}\s+(?:\w+\s+){{0,2}}(?:below|above|provided)\b",
    r"\bthe user(?:'s)? (?:query|question|input|message|prompt)\b",
)
THIS_TEXT = _pattern(
    rf"\b(?:this|these|each|every|following|selected)\s+(?:[\w'-]+\s+){{0,3}}?{_any(_TEXT)}\b",
    rf"\b{_any(_TEXT)}\s+(?:\w+\s+){{0,2}}(?:below|above)\b",
)
# Words that point to such a text without naming it
POINTING = _pattern(
    r"\bthe following\b(?=\s+(?!options|commands|variables|errors|warnings|steps|paths|cells)\w+\s*:"
    r"|\s*(?:[:.,]|$)|\s+(?:in|into|to|as|for|and|from)\b)|\b(?:below|above)\s*[:.]?\s*$|\bbetween the\b",
    r"\b(?:this|these|it|them|that)\s*(?::|$|[,.]|\ufffc)|\b(?:from|of|in)\s*:\s*$",
    r"^\W*\w+\s+(?:this|these|them)\b|^(?:put|bring|arrange|make)\s+it\b",
)
# "Here is an email:"
ANNOUNCED = _pattern(
    rf"\b(?:here(?:'s| is| are)|below (?:is|are)|i (?:have|got|received))\b.{{0,30}}\b{_any(_PROSE, 'list')}\b"
)
# An order begins with a verb, that is: with none of these
NO_VERB = frozenset(
    """
    a an the this that these those i we you he she it they my our your his its their one some any all both each every
    no not yes in on at of to for from with without by as about into than through under over between during per before
    after until despite like near what
    which who whom whose when where why how is are was were be do does did has have had can could should would will may
    might must shall and or but if because since so although while unless whether there here anybody anyone somebody
    someone everything nothing something question answer context result results note notes also only just even still
    """.split()
)
FINITE = _pattern(r"\b(?:is|are|was|were|does|did|has|had|isn't|aren't|wasn't|doesn't|didn't)\b")
# What is wanted of code, lists and messages as of any question
EXPLAINING = frozenset(
    """
    explain describe tell show help look debug solve understand discuss interpret clarify teach see consider suppose
    assume imagine say let find check know wonder think
    """.split()
)
OF_CONVERSATION = _pattern(
    r"\b(?:our|this|the)\s+(?:\w+\s+)?(?:conversation|chat|discussion|dialogue|session|thread)\b",
    r"\b(?:another|other|next|new) (?:\w+ )?(?:model|agent|llm|assistant)\b",
)
OF_PROSE = _pattern(
    rf"\b(?:this|these|my|our|each|given|following)\s+(?:[\w'-]+\s+){{0,3}}?{_any(_PROSE)}\b",
    rf"\b{_any(_PROSE, 'source documents? choices')}\s+(?:below|above|between)\b|\bthe text\b",
)
OF_WORK = _pattern(rf"\b(?:this|these|my|our|following)\s+(?:\w+\s+)?{_any(_WORK)}\b")
# A question about prose that asks what it says, or whether that holds, is one for the documents
OF_CONTENT = _pattern(
    r"\b(?:right|true|correct|wrong|means?|agrees?|accurate|outdated|still|says?|about"
    r"|refers?|appl(?:y|ies)|possible)\b"
)
# What is not a text but a part of a chip
OF_CHIP = _pattern(
    r"\b(?:parasitics?|rcx?|spef|netlists?|def|lef|gds|oasis|layouts?|liberty|librar(?:y|ies)|sdc|clocks?|designs?"
    r"|cells?|paths?|nets?|pins?|timing|slack|wires?|vias?|macros?|modules?|ports?|corners?|violations?"
    r"|blif|verilog|vhdl|rtl"
    r"|die|core|floorplan|density|buffers?|fillers?|hold|setup|skew)\b"
)

_LANGUAGES = _any(
    "english german french spanish italian portuguese dutch polish czech russian ukrainian chinese mandarin japanese"
    " korean hindi arabic turkish hebrew swedish danish finnish norwegian greek hungarian romanian vietnamese thai"
    " deutsche? englische? (?:zh|en|de|fr|es|ja|ko|pt|it|ru)-[a-z]{2}"
)
TRANSLATE_ORDER = _pattern(
    rf"translate\b.*\b{_LANGUAGES}\b|how (?:do|would|can) (?:you|i|we) say\b.*\b{_LANGUAGES}\b",
    rf"(?:give me|write|say|what(?:'s| is)|how is)\b.{{0,20}}\b{_LANGUAGES} (?:version|translation|word|for)\b",
    r"translate\s+(?:(?:this|these|it|the following)\s*[:.]"
    r"|(?:this|the) (?:user|input|text|sentence|message|paragraph)\b)",
)
# On how a text is written
WRITING_ORDER = _pattern(
    r"(?:correct|fix|check|improve|polish)\s+(?:the |my |its |any )?(?:spelling|grammar|typos?|wording|writing|style"
    r"|punctuation)\b|correct\s*:|(?:proof-?read|spell-?check|copy-?edit)\b|explain like i\b"
)
# Gives a text another form; what follows is the text, even if it is a question
REFORM_ORDER = _pattern(
    r"(?:rewrite|reword|rephrase|paraphrase|shorten|lengthen|simplify|condense|compress|summari[sz]e|sum up|recap"
    r"|tl;?\s?dr|translate)\b(?!\s*\()",
    r"(?:correct|fix|check|improve|polish)\s+(?:the |my |its |any )?(?:text|sentence|e-?mail)\b",
    r"improve (?:this|it)\b|make (?:this|these|the|my|it)\b.*\b(?:shorter|longer|friendlier|clearer|simpler|sound"
    r"|(?:more|less) (?:polite|formal|professional|concise|friendly|casual|technical|readable|natural|direct)\w*)\b",
)
# Takes something out of a text: so the text may follow at once
EXTRACT_ORDER = _pattern(
    r"(?:extract|classify|categori[sz]e|label|annotate|parse|tabulate|anonymi[sz]e|redact|tokeni[sz]e|deduplicate|tag"
    r"|(?:detect|identify|determine) the language)\b"
)
# "Extract Jason is 25 years old"
EXTRACT_STATEMENT = re.compile(r"[Ee]xtract:?\s+(?:the\s+)?(?:[A-Z]\w+\s+){1,3}(?:is|was|has|works|lives|and)\b")
# Changes a text, sorts it, judges it, or goes on with it
TRANSFORM_ORDER = _pattern(
    r"(?:convert|transform|turn|decompose|reformat|sort|judge|rate|grade|score|evaluate|choose|select|pick|complete"
    r"|continue|finish|fill in|fill|go on|clean up|organi[sz]e|synthesi[sz]e (?:them|these)"
    r"|update the summary|translate|(?:remove|drop) duplicates)\b(?!\s+of\b)",
    r"(?:order|number|name)\s+(?:these|them|the following|each)\b|pull\b.*\b(?:out of|from)\b",
    r"format\s+(?:this|these|the|it|my|as)\b|(?:put|bring|arrange)\s+(?:it|them|this|these|the)\b.*\b(?:in|into|out)\b",
    r"(?:make|create|build)\b.{0,40}\b(?:out of|from)\s+(?:this|these|it|them|the)\b",
)
CHANGING_ORDERS = (WRITING_ORDER, REFORM_ORDER, EXTRACT_ORDER, TRANSFORM_ORDER)
# What goes with any question; it is a task only on prose, or on changes to code
SOFT_ORDER = _pattern(
    r"(?:list|find|identify|detect|review|read|look at|give me|get|return|reply|tell me|count|check|compare|critique"
    r"|mark|highlight|analy[sz]e|decide|say)\b"
)
QUESTION = _pattern(r"(?:is|are|was|were|does|do|did|what|which|who|whom|when|where|how)\b")

# Makes something out of a text, as chat pages want it
MAKE_ORDER = _pattern(
    r"(?:i need|i want|i'd like|write|generate|create|give|provide|suggest|propose|produce|draft|compose|predict"
    r"|come up with|reply with|respond with|answer with|return|output|make|reflect|derive|formulate|name|craft|prepare"
    r"|devise|assign|choose|pick(?:ing)?)\b"
)
ARTEFACT = _pattern(
    r"\b(?:titles?|headline|heading|subject line|name for|hash-?tags?|tags|keywords?|emojis?|summary|recap|abstract"
    r"|key (?:points|takeaways)|takeaways|translation|paraphrase|commit messages?|git commits?|pull request"
    r"|pr description|release notes|change-?log|docstrings?|type hints|unit tests?|tests? for|search quer(?:y|ies)"
    r"|standalone question|different versions|statements?|claims|minutes|hand-?over|handoff|prompt for"
    r"|(?:reply|response|answer) to (?:this|the)|a (?:\w+ )?reply|(?:conversation|chat|thread) a name|categor(?:y|ies)"
    r"|passage to answer)\b",
    r"\b(?:follow-?up|next|starter|suggested|more|several|likely)\s+(?:[\w-]+\s+){0,2}questions?\b",
    r"\bquestions?\b.{0,80}\b(?:asks?|asked) next\b|\bsuggestions\b.{0,60}\bnext\b|\bnext (?:user )?messages?\b",
    r"\bversions of the (?:user |given ){0,2}(?:question|query)\b",
)
# Of these the text is the conversation before
OF_NEXT_TURN = _pattern(
    r"\bquestions?\b.{0,80}\b(?:(?:asks?|asked) next|(?:human|user) would ask)\b|\bhand-?(?:over|off)\b"
    r"|\bfollow-?up questions?\b.{0,60}\b(?:our|this)\b"
)

# Makes what only code has
ANNOTATE_ORDER = _pattern(
    r"(?:add|write|generate|create)\s+(?:[\w-]+\s+){0,3}?"
    r"(?:(?:type )?hints?|docstrings?|unit tests?|tests?|documentation)\b"
)
EDIT_ORDER = _pattern(
    r"(?:refactor|rewrite|rename|reformat|optimi[sz]e|implement|port|convert|complete|finish|fill in|debug|fix|change"
    r"|modify|edit|move|replace|remove|delete|document|comment|split|inline)\b",
    r"add\s+(?:[\w-]+\s+){0,3}?(?:hints?|docstrings?|comments?|tests?|logging|handling|parameter|argument|method"
    r"|function|validation|types?)\b",
    r"(?:write|generate|create)\s+(?:[\w-]+\s+){0,2}?(?:tests?|docstrings?|comments?|documentation)\b",
)
OF_CODE = _pattern(
    r"\b(?:this|these|the|my|selected|above|following)\s+(?:[\w'-]+\s+){0,3}?(?:code|functions?|class|method|snippet"
    r"|scripts?|body|variable|selection|file|bug|loop|line|test)\b"
)
OF_THIS = _pattern(r"\b(?:this|it)\s*(?::|$|[,.])|^\W*\w+ this\b")
# Languages of programs that the documents are not about, as fences name them, and what makes a program one of theirs
GENERAL_LANGUAGES = frozenset(
    "python py javascript js typescript ts jsx tsx java kotlin c cpp c++ cc rust rs go ruby php swift sql html".split()
)
OF_TOOLS = _pattern(r"verilat|\bpya\b|\bodb\b|openroad|cocotb|amaranth|siliconcompiler|liberty")
LOG = re.compile(r"\b(?:ERROR|WARNING|FATAL|Error|Warning|error:|warning:|fatal|violated|VIOLATED)\b")

# A label at the end of a prompt, after which the model is to write what no document holds
SLOT = re.compile(
    r"\n[ \t*#]*(?:[\w-]+ ){0,2}(?:json|output|title|headline|summary|passage|translation|text|questions?|queries|tags"
    r"|keywords|statements|verdict|label|category|class|classification|sentiment|suggestions|score|message|code)\s*:"
    r"[\s\"`]*$",
    re.IGNORECASE,
)
# Roles of assistants in a terminal, which make a command or code of whatever is asked
_SHELL = r"(?:bash|zsh|fish|powershell|cmd(?:\.exe)?|shell|terminal|command[- ]line|unix|linux)"
TERMINAL_ROLE = _pattern(
    rf"\bonly\b[^.\n]{{0,30}}\b{_SHELL}\b[^.\n]{{0,20}}\bcommands?\b",
    rf"\b{_SHELL} commands? (?:generator|descriptor|writer|translator)\b",
    rf"\b(?:translates?|converts?|turns?)\b[^.\n]{{0,60}}\b(?:in)?to\b[^.\n]{{0,20}}\b{_SHELL} (?:command|one-?liner)",
    rf"\bdescription of the given {_SHELL} command\b|\bprovide only code\b",
)
REQUEST = re.compile(r"^\s*Request:\s*", re.MULTILINE)
# Marks of editors that ask for code, wherever they stand
EDITOR_MARK = re.compile(
    r"SEARCH/REPLACE|<\|?fim_(?:prefix|suffix|middle|begin|hole)\|?>|<\|(?:cursor|fim_pad|code_suffix)\|>|<(?:SUF|MID)>"
    r"|\{\{FILL_HERE\}\}|<rewrite_this>|\bis the code to rewrite\b|\bsupplied code\b|selected a section of code"
    r"|section of code .{0,40}to be rewritten|^diff --git |<<<<<<< (?:SEARCH|HEAD|ORIGINAL)",
    re.MULTILINE,
)

# A conversation in the prompt: between tags, or by its speakers
TRANSCRIPT_TAG = re.compile(
    r"<(?:chat[_ ]?history|history|conversation|messages|dialogue|transcript|session|chat[_ ]?log)>", re.IGNORECASE
)
SPEAKERS = (
    re.compile(
        r"^\W{0,8}(?:user|human|customer)[\"'\]]{0,2}\s*[:>]|^#+\s*(?:user|human)\s*$", re.IGNORECASE | re.MULTILINE
    ),
    re.compile(
        r"^\W{0,8}(?:assistant|ai|bot|agent|gpt|chatbot)[\"'\]]{0,2}\s*[:>]\s*\S|^#+\s*(?:assistant|ai)\s*$",
        re.IGNORECASE | re.MULTILINE,
    ),
)
ROLES_IN_JSON = (re.compile(r"\"role\"\s*:\s*\"user\""), re.compile(r"\"role\"\s*:\s*\"assistant\""))

# The caller's own context: between tags or marks, or after words that announce it
CONTEXT_TAG = re.compile(
    r"<(context|contextitem|context_item|documents?|docs|sources|passages?|excerpts?|retrieved[\w-]*|knowledge[\w-]*"
    r"|search[_-]?results?|web[_-]?search[\w-]*|files_info|file_context)(?:\s[^<>]{0,300})?>"
    r"|<(source)\s[^<>]{1,300}>",
    re.IGNORECASE,
)
CONTEXT_MARK = re.compile(r"\[(?:CONTEXT|DOCUMENT|SOURCE|PASSAGE) \d+\]\s*[:\n]", re.IGNORECASE)
_CONTEXT = r"(?:context|documents?|passages?|sources?|excerpts?|extracts?|chunks?|search results|articles?|snippets?)"
CONTEXT_PHRASE = re.compile(
    r"\b(?:us(?:e|ing)|given|based (?:only |solely )?(?:up)?on|from|consider(?:ing)?|according to|with|refer to)\s+"
    r"(?:only\s+)?(?:the\s+|these\s+|this\s+|a\s+)?"
    r"(?:(?:following|provided|given|above|below|retrieved|attached|supplied)\s+)?"
    rf"(?:pieces? of\s+)?(?:retrieved\s+|relevant\s+|provided\s+)?{_CONTEXT}\b"
    r"|based (?:only )?on the text\b"
    r"|context information\b.{0,60}\bbelow|given the (?:following )?information\b|\buse my (?:\w+ )?notes\b",
    re.IGNORECASE,
)
BELOW = re.compile(r"\b(?:following|below|these)\b", re.IGNORECASE)

# System messages: who is to work on whatever the user sends
_DOES = (
    r"(?:translates?|summari[sz]es?|extracts?|classif(?:y|ies)|rewrites?|rephrases?|paraphrases?|proofreads?|corrects?"
    r"|completes|labels?|tags|names)"
)
TASK_ROLE = _pattern(
    r"\b(?:you(?:'re| are)|act as|as)\s+(?:now\s+)?(?:(?:an?|the|my)\s+)?(?:[\w-]+\s+){0,6}?(?:translator"
    r"|translation\s+(?:engine|assistant|expert|machine|model|system)|summari[sz]er"
    r"|(?:title|headline|tag|thread|query|queries|keyword|message)\s+(?:generator|writer|creator)|classifier|extractor"
    r"|extraction\s+(?:algorithm|engine|system|expert|tool)|proof-?reader|editor"
    r"|(?:spell|grammar)[ -]?checker|router|routing agent|judge|grader|evaluator|tagger"
    r"|labell?er|hole filler|auto-?complet\w+(?:\s+system)?|moderator|(?:sentiment|text) analy[sz]er|rephraser"
    r"|paraphraser)(?=\s*(?:[.,;:!\n]|$|\b(?:who|that|for|of|and)\b))",
    rf"\byou(?:'re| are)\b[^.\n]{{0,80}}\b(?:that|who|which)\s+(?:\w+ly\s+)?{_DOES}\b",
)
PRODUCT_ROLE = _pattern(
    r"\byou(?:'re| are)\b[^.\n]{0,80}\b(?:that|who|which)\s+(?:\w+ly\s+)?(?:generates?|writes?|creates?|suggests?"
    r"|produces?|gives?)\b",
    r"\byou(?:'re| are)\b[^.\n]{0,80}\b(?:at|in|on|for)\s+(?:\w+ly\s+)?(?:writing|generating|creating|picking"
    r"|suggesting|making|crafting)\b",
)
CHANGING_ROLE = _pattern(
    r"\byou(?:'re| are)\b[^.\n]{0,80}\b(?:at|in|on|for)\s+(?:\w+ly\s+)?(?:naming|summari[sz]ing|extracting|translating"
    r"|rewriting|classifying)\b"
)
# A system message that asks to answer, help or explain speaks to an assistant of any use
ANSWERING = re.compile(
    r"(?:^|[.!?:,]\s+|\b(?:you|and|to|then|always|please|only)\s+)(?:answer|help|assist|explain|respond to)\b"
    r"(?!\s+(?:with |only )?[\"']?(?:yes|no|true|false|safe)\b)(?!\s+[\"'])",
    re.IGNORECASE | re.MULTILINE,
)
OF_ANSWERS = _pattern(r"\b(?:your|each|every|the|an?)\s+(?:\w+\s+)?(?:answers?|responses?|repl(?:y|ies)|output)\b")
GENERAL_ROLE = _pattern(
    r"\byou(?:'re| are)\b[^.\n]{0,80}\b(?:assistant|agent|engineer|developer|expert|programmer|helper|bot|ai|companion"
    r"|tutor|help desk|partner)\b|\bdu bist\b"
)
INPUT = _pattern(
    rf"\b(?:{_any(_TEXT)}|user(?:'s)?|tickets?|saved pages|threads|questions|whatever|everything|anything|instances?"
    r"|facts|takeaways|tags?|information|logs?)\b"
)
USERS_TEXT = _pattern(
    r"\b(?:(?:the|a|an|each|every|any)\s+)?users?(?:'s?)?\s+(?:\w+\s+)?(?:text|input|message|prompt|query|sentence"
    r"|words|question|request|code)s?\b|\bwhat (?:i|the user|users) (?:types?|writes?|sends?|says?)\b",
    r"\b(?:the|an?|each|every|any|all)\s+(?:[\w-]+\s+){0,2}?(?:texts?|inputs?|messages?|sentences?|paragraphs?"
    r"|e-?mails?|mails?|articles?|reviews?|notes|transcripts?|conversations?|tickets?"
    r"|prompts?|diff|description|cells?)\b",
)
ON_DEMAND = _pattern(
    r"\b(?:when|if|where|only if|whenever)\b.{0,30}\b(?:asks?|asked|requests?|requested|needed|helpful|useful)\b"
)
# What an assistant of any use is told to do; whatever else is done with an input is a task
PERSONA_VERBS = frozenset(
    """
    answer reply respond explain help assist be use keep act speak follow think ask consider tell greet treat respect
    address guide support inform remind give provide show understand avoid do pay make ensure end start begin adapt
    match mirror refer cite remember quote read search consult include add write format put wrap mark state mention
    prefer focus stay stick talk discuss teach build call run edit work plan note obey reason look see try take pair
    maintain handle never always only base ground limit repeat default assume admit introduce interpret analyze analyse
    break identify determine list engage tailor state
    """.split()
)
CHECK_INPUT_ORDER = _pattern(
    r"check (?:if|whether)\b.{0,60}\b(?:message|content|text|input|prompt)\b|compare the (?:two|answers|responses)\b",
    r"(?:choose|select|pick)\b.{0,40}\b(?:tools?|categor(?:y|ies)|labels?|intents?|routes?)\b",
)

# The same orders in other languages; where words have no blanks between them the order stands before a colon or an end
FOREIGN_ORDER = _pattern(
    r"(?:übersetz\w*|fasse?\b.*\bzusammen|zusammenfassen|formulier\w*|korrigier\w*|kürze?|extrahier\w*|klassifizier\w*"
    r"|schreib\w*\b.*\bum)\b",
    r"(?:traduis|traduisez|traduire|résumez?|résumer|reformulez?|reformuler|corrigez?|corriger|extrais|extrayez)\b",
    r"(?:traduce|traducir|traduzca|resume|resumir|resuma|reescribe|corrige|extrae|clasifica)\b",
    r"(?:traduci|riassumi|riscrivi|correggi|estrai|classifica|traduza|traduz|reescreva|corrija|extraia)\b",
    r"(?:переведи\w*|перескажи\w*|сократи\w*|исправь\w*|резюмируй\w*)\b",
)
_CJK_VERB = (
    "(?:翻译|翻譯|总结|總結|概括|改写|润色|提取|摘要|纠正|翻訳|要約|書き直|言い換え|校正|抽出|번역|요약|교정|추출)"
)
CJK_ORDER = re.compile(rf"^\s*{_CJK_VERB}|(?:请|請|帮我|把|将|以下|下面|这|次の|この|다음|이 ).{{0,30}}{_CJK_VERB}")
CJK_QUESTION = re.compile(r"怎么|如何|什么|哪|吗|为何|どう|何|어떻게|무엇|なぜ")
CJK_TEMPLATE = re.compile(
    r"(?:你是|请[将把]|[将把]用户|你需要|あなたは).{0,30}(?:翻译|翻譯|总结|摘要|标题|润色|分类|翻訳|要約)|用户的问题是|只返回"
)
