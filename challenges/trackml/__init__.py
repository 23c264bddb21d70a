"""TrackML: connect the hits of thousands of particles to tracks."""
