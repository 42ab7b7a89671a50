"""Acts on a port: plans, which are pure, and what carries them out. It words no answer."""
