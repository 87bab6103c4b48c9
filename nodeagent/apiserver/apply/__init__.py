"""Server-side apply: who owns which field of an object, and how an applied configuration is merged into it."""
