// A test registry small enough to need no explanation: TEST("name") { EXPECT(...); EXPECT_EQ(a, b); }. Files register
// themselves; main.cc runs all, or those whose name contains argv[1], prints each failure with its place, and ends with
// `N passed, N failed`.
#pragma once

#include <functional>
#include <sstream>
#include <string>
#include <vector>

namespace gammaloop::test {

struct Case {
  std::string name;
  std::function<void()> body;
};

std::vector<Case>& cases();
void fail(const char* file, int line, const std::string& what);
// Runs the cases whose name contains `filter`; returns the number of failed ones.
int runAll(const std::string& filter);

struct Registrar {
  Registrar(std::string name, std::function<void()> body) { cases().push_back({std::move(name), std::move(body)}); }
};

template <typename T>
std::string show(const T& value) {
  if constexpr (requires(std::ostringstream & out) { out << value; }) {
    std::ostringstream out;
    out << value;
    return out.str();
  } else {
    return "(value)";
  }
}

}  // namespace gammaloop::test

#define GL_CONCAT_(a, b) a##b
#define GL_CONCAT(a, b) GL_CONCAT_(a, b)
#define TEST(name)                                                                                        \
  static void GL_CONCAT(testBody, __LINE__)();                                                            \
  static ::gammaloop::test::Registrar GL_CONCAT(testCase, __LINE__)(name, GL_CONCAT(testBody, __LINE__)); \
  static void GL_CONCAT(testBody, __LINE__)()

#define EXPECT(condition)                                                      \
  do {                                                                         \
    if (!(condition)) ::gammaloop::test::fail(__FILE__, __LINE__, #condition); \
  } while (0)

#define EXPECT_EQ(actual, expected)                                                                             \
  do {                                                                                                          \
    const auto& glActual = (actual);                                                                            \
    const auto& glExpected = (expected);                                                                        \
    if (!(glActual == glExpected))                                                                              \
      ::gammaloop::test::fail(__FILE__, __LINE__,                                                               \
                              std::string(#actual " is ") + ::gammaloop::test::show(glActual) + ", expected " + \
                                  ::gammaloop::test::show(glExpected));                                         \
  } while (0)
