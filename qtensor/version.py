"""The version of this package, for those inside it who must not import its front door."""

__version__ = "0.1.0"
