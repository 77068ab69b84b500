"""Pictures: attention maps, the explorer page, and the photographs they are drawn on."""
