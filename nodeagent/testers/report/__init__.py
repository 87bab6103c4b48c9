"""What a run came to, in the forms that people and programs read: a file each, `write(run) -> str`, pure; `forms` names them."""
