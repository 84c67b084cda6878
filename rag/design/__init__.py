"""What a design team writes beside manuals: libraries, reports, settings, variables declared in source code."""
