"""TrackML against the clock: the same events, scored by accuracy and time."""
