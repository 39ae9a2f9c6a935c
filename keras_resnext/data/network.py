"""Whether a web address answers, known within seconds."""

import threading
import urllib.request


def why_unreachable(url: str, seconds: float) -> str | None:
    """Ask for the headers of `url`, through the proxies that the environment names.

    Args:
        url: http or https.
        seconds: after which to give up, whatever hangs.

    Returns:
        None if it answers, else the reason.
    """
    outcome: list[str | None] = []

    def ask():
        request = urllib.request.Request(url, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=seconds):
                outcome.append(None)
        except OSError as error:
            outcome.append(str(error))

    # A thread, because a name lookup knows no timeout; a daemon, so that it holds up no exit.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return outcome[0] if outcome else f"no answer in {seconds:g} seconds"
