import os

import hypothesis

# two workers share two cores: one thread each, unless a test asks for more
os.environ.setdefault("OMP_NUM_THREADS", "1")

# how long an example takes depends on the machine
hypothesis.settings.register_profile("genenet", deadline=None)
hypothesis.settings.load_profile("genenet")
