"""What a write means: from a body to a committed object. HTTP and the controllers inside both come through here."""
