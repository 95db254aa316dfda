// manifest.json: what every file of a folder held when it was written, so that a torn or flipped one is found and
// named.
//
//   "files": {"model.safetensors": {"bytes": 12, "sha256": "…",
//             "tensors": {"lm_head.weight": {"begin": 8, "bytes": 4, "xxh3": "…"}}}}
//   "sha256": of all bytes of manifest.json before this field
//
// begin counts from the beginning of the file; tensors stand only under .safetensors files. xxh3: XXH3, 64 bits, seed
// 0.
#pragma once
#include "base/files.h"

namespace tenth {

inline constexpr const char* kManifest = "manifest.json";

// Reads every file in the folder and below it, and writes the manifest beside them (write_file). Throws kIo.
void write_manifest(const Path& folder);

// Reads them again. Throws in one line that names the file, and the tensor where one is hit: kInput for a manifest that
// is absent or damaged, and for a file that is absent, cut off or damaged; kIo for one that cannot be read. Files that
// the manifest does not name are not looked at.
void check_manifest(const Path& folder);

}  // namespace tenth
