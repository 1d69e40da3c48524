"""The compiled part of the int8 engine; where there is no compiler, the rest installs without."""

import sys

from setuptools import Extension, setup

KERNEL = "emomusic/model/int8/kernel"
PARTS = ("model", "session", "forward", "sample", "pool",
         "isa_plain", "isa_avx2", "isa_avx512", "isa_neon")  # fmt: skip
# No fused multiply-add: floats are to be the same whatever the processor.
FLAGS = ["-O3", "-std=c11", "-ffp-contract=off", "-fvisibility=hidden", "-Wno-psabi"]

setup(
    ext_modules=[
        Extension(
            "emomusic.model.int8._kernel",
            [f"{KERNEL}/{part}.c" for part in PARTS],
            depends=[
                f"{KERNEL}/{name}.h" for name in ("api", "compute", "kernel", "pool", "session")
            ],
            extra_compile_args=[] if sys.platform == "win32" else FLAGS,
            extra_link_args=[] if sys.platform == "win32" else ["-pthread"],
            libraries=[] if sys.platform == "win32" else ["m"],
            optional=True,
            py_limited_api=True,
        )
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
