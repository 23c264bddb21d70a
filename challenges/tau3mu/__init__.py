"""Flavours of Physics (2015): the forbidden decay tau -> mu mu mu against LHCb's background."""
