// The page and its files, which are part of the binary (web/, CMakeLists.txt).
#pragma once
#include "serve/routes.h"

namespace tenth {

bool is_page(const std::string& path);  // / and /web/*
// GET of them; needs no model.
void show_page(const ClientRequest& request, HttpExchange& exchange);

}  // namespace tenth
