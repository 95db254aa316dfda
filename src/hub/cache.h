// The cache folder of the Hugging Face tools, which tenth shares with them:
//   models--OWNER--NAME/refs/REVISION        the commit that a branch or tag meant when it was last pulled
//                       blobs/HASH           the files' bytes: SHA-256 of a large file, git's SHA-1 of a small one
//                       snapshots/COMMIT/…   the files by name, links to blobs
#pragma once
#include <optional>
#include <string>

#include "base/files.h"

namespace tenth {

// $HF_HUB_CACHE, else $HF_HOME/hub, else $XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub.
Path hub_cache();

struct HubName {
  std::string name;      // OWNER/NAME
  std::string revision;  // main where none is given
};

// "OWNER/NAME" or "OWNER/NAME@REVISION"; nullopt for what cannot be one.
std::optional<HubName> parse_hub_name(const std::string& text);

// The folder of the model in the cache, whether it is there or not.
Path hub_folder(const Path& cache, const std::string& name);
// The snapshot of a revision, if it was pulled.
std::optional<Path> find_snapshot(const Path& cache, const HubName& name);

// What a command's MODEL means: a folder or file that exists, else a hub name that was pulled (its folder; its file
// where that is one .gguf alone). Throws kInput with what to do where it is neither.
Path find_model(const std::string& model);

}  // namespace tenth
