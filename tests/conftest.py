import os

from tests.support import examples

# two workers share two cores: one thread each, unless a test asks for more
os.environ.setdefault("OMP_NUM_THREADS", "1")

examples.register()
