"""What judges hear in clips: asked against heard, over the plane, and beside simpler systems."""
