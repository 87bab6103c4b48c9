"""The agent put together: one module a subject, each with the parts of that subject (`parts.Part`). `main.PARTS` lists them."""
