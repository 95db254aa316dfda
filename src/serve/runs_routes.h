// The runs of a folder, for the page: which there are, and their files as they grow. Only names that the listing finds
// are opened, and only the files that are named here.
#pragma once
#include "serve/routes.h"

namespace tenth {

// GET /api/runs: {"runs": [{name, stage, step, wall, updated, age, files: ["metrics", "report", …]}]}, newest first;
// updated: Unix seconds; age: seconds since then.
void list_runs(const Call& call);

// GET /api/runs/{name}/{file}: metrics, samples (JSON lines), report (Markdown), summary, expert_load (JSON).
// Of JSON lines, ?from=BYTE asks for what follows that byte: whole lines, at most 1 MiB of them. X-Next-Offset says
// where to go on, X-Run-Id changes when the file was begun anew: then everything is to be read again.
void show_run(const Call& call);

}  // namespace tenth
