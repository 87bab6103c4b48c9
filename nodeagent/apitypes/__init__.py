"""The API's types: what is a field, how it reads and writes JSON, how its lists and maps merge."""
