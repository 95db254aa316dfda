// Ctrl-C as a wish that long work looks at between steps, so that it can save before it ends. A second one ends at
// once.
#pragma once

namespace tenth {

// Installs the handler of SIGINT and SIGTERM, and forgets an earlier wish: for the beginning of long work.
void watch_interrupts();
bool interrupted();

}  // namespace tenth
