"""`python -m syncd`: the same as `syncd`."""

from syncd.commands.main import main

main()
