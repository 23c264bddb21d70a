"""The 2D tracking hackathon of CTD/WIT 2017: connect the hits of particles in nine rings of silicon."""
