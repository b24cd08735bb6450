"""The parts of the screens: `chat` and `waiting` are those of one screen each, the rest are shared."""
