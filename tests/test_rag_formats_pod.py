"""rag.formats.pod: the documentation in Perl under its sections and options, and the code around it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from rag.formats.pod import clean, parse_perl
from tests.rows import for_each

SCRIPT = """use strict;

=pod

=head1 OPTIONS

=over 4

=item B<-n> I<N>

=item B<--number>

Show C<N> rules.

  sum -n 3

=item *

one point

=item * another

=back

=head2 Limits

None.

=cut

sub main { 1 }
__END__

=head1 AUTHOR

A. Bee
"""


def test_sections_and_options_are_headings_and_code_stays_code() -> None:
    blocks = parse_perl(SCRIPT, "perl").blocks
    assert [(block.kind, block.heading_path, block.text) for block in blocks] == [
        ("code", (), "```perl\nuse strict;\n```"),
        ("prose", ("OPTIONS", "-n N, --number"), "Show `N` rules."),
        ("code", ("OPTIONS", "-n N, --number"), "```\nsum -n 3\n```"),
        ("list", ("OPTIONS", "-n N, --number"), "- one point\n- another"),
        ("prose", ("OPTIONS", "Limits"), "None."),
        ("code", ("sub main",), "```perl\nsub main { 1 }\n```"),
        ("code", (), "```perl\n__END__\n```"),
        ("prose", ("AUTHOR",), "A. Bee"),
    ]


@for_each(
    ("source", "text"),
    [
        ("B<bold I<both>> end", "bold both end"),
        ("C<< $a->{b} < 2 >>", "`$a->{b} < 2`"),
        ("E<lt>nameE<gt> E<eacute>", "<name> &eacute;"),
        ("see L<the guide|perlpod>, L<Getopt::Long>", "see the guide, Getopt::Long"),
        ("X<index>a Z<>b", "a b"),
        ("A<kept> if 3 < 4", "A<kept> if 3 < 4"),
    ],
)
def test_marks_become_what_they_show(source: str, text: str) -> None:
    assert clean(source) == text


def test_an_item_that_nothing_describes_is_still_named() -> None:
    (block,) = parse_perl("=over\n\n=item -a\n\n=item -b\n\n=back\n\n=cut\n", "perl").blocks
    assert block.text == "`-a`\n`-b`"


@given(st.lists(st.sampled_from(["=head1 a", "=item b", "=item *", "=back", "=cut", "c", "", " d", "sub e {", "}"])))
def test_no_word_of_a_script_is_lost(lines: list[str]) -> None:
    shown = " ".join(
        f"{' '.join(block.heading_path)} {block.text}" for block in parse_perl("\n\n".join(lines), "perl").blocks
    )
    assert all(word in shown for word in "cd" if any(line.strip() == word for line in lines))
