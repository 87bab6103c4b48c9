"""The exceptions that decoding bytes as JSON may raise, in one place."""

import msgspec

# RecursionError: a few kilobytes of brackets; both msgspec and json raise it rather than an error of their own. ValueError: text
# that is no UTF-8, what is no JSON to json.loads, and an integer of more digits than Python turns into a number (4300).
UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
