"""FlexVolume drivers: programs of the host that come and go."""
