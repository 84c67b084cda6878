"""From passages to an answer: what may be quoted, and how it is said."""
