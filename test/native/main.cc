#include "test.h"

int main(int argc, char** argv) { return gammaloop::test::runAll(argc > 1 ? argv[1] : "") == 0 ? 0 : 1; }
