"""What all figures share: the panel, the colours, and the SVG that follows light and dark."""
