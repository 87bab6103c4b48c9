"""Durations as Go prints them, since events show them so."""


def go_duration(seconds: float) -> str:
    """Cut to milliseconds: 0.0514 -> "51ms", 1.5 -> "1.5s", 62.25 -> "1m2.25s", 3600 -> "1h0m0s", 0.0001 -> "0s"."""
    total_milliseconds = int(seconds * 1000)
    if total_milliseconds < 1000:
        return f"{total_milliseconds}ms" if total_milliseconds else "0s"
    whole, milliseconds = divmod(total_milliseconds, 1000)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    fraction = f".{milliseconds:03}".rstrip("0").rstrip(".")
    text = f"{rest}{fraction}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    return f"{hours}h{text}" if hours else text
