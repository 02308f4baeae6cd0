"""The OpenEXR file format: declarations, the reader derived from them, and the chunk tables."""
