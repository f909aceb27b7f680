"""The filter language: parsed text, shorthand options, and the expressions that both become."""
