"""`python -m memory_attention`."""

from .cli import main

main()
