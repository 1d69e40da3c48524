"""The compiled part of the int8 engine, and the checkpoint that a wheel carries.

Where there is no compiler, the rest installs without the engine.
"""

import shutil
import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

KERNEL = "emomusic/model/int8/kernel"
PARTS = ("model", "session", "steps", "grammar", "forward", "sample", "pool",
         "isa_plain", "isa_avx2", "isa_avxvnni", "isa_avx512", "isa_neon")  # fmt: skip
# No fused multiply-add: floats are to be the same whatever the processor.
FLAGS = ["-O3", "-std=c11", "-ffp-contract=off", "-fvisibility=hidden", "-Wno-psabi"]
CHECKPOINT = "checkpoints/emomusic-12m"
OF_TRAINING = ".toml"


class BuildPackage(build_py):
    """Build what is here now, and put the default checkpoint inside the package.

    An editable install is left alone: it finds the checkpoint beside the package.
    """

    def run(self) -> None:
        """Build the package."""
        if not self.editable_mode:
            # Whatever an earlier build left there would go into the wheel.
            shutil.rmtree(Path(self.build_lib, "emomusic"), ignore_errors=True)
        super().run()
        if not self.editable_mode:
            for source, target in self._checkpoint().items():
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target, preserve_mode=False)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """Return the files that are built."""
        return [*super().get_outputs(include_bytecode), *self._checkpoint()]

    def get_output_mapping(self) -> dict[str, str]:
        """Return where each file that is built comes from."""
        pairs = {target: source for source, target in self._checkpoint().items()}
        return {**super().get_output_mapping(), **pairs}

    def _checkpoint(self) -> dict[str, str]:
        if self.editable_mode:
            return {}
        found = (p for p in Path(CHECKPOINT).iterdir() if p.is_file() and p.suffix != OF_TRAINING)
        return {str(p): str(Path(self.build_lib, "emomusic", p)) for p in sorted(found)}


setup(
    cmdclass={"build_py": BuildPackage},
    ext_modules=[
        Extension(
            "emomusic.model.int8._kernel",
            [f"{KERNEL}/{part}.c" for part in PARTS],
            depends=[
                f"{KERNEL}/{name}"
                for name in ("api.h", "compute.h", "kernel.h", "pool.h", "session.h", "isa_avx2.c")
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
