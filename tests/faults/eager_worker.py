"""The product's worker, but it connects again at once: thousands of cuts take minutes, not hours.

`python -m tests.faults.eager_worker` takes the options of `orchestra worker start`.
"""

from orchestra_worker import link
from orchestra_worker.__main__ import main

PAUSE_SECONDS = 0.01

if __name__ == "__main__":
    vars(link).update(RECONNECT_SECONDS_MIN=PAUSE_SECONDS, RECONNECT_SECONDS_MAX=PAUSE_SECONDS)
    main()
