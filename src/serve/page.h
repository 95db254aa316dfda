// The page and its files, which are part of the binary (web/, CMakeLists.txt).
#pragma once
#include "serve/routes.h"

namespace tenth {

void show_page(const Call& call);  // GET / and /web/*

}  // namespace tenth
