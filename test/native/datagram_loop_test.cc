// The batches of systems that move datagrams one by one, on whatever system this is.
#define receiveDatagrams receiveOneByOne
#define sendDatagrams sendOneByOne
#include "../../native/sys/datagram_batch_loop.cc"
#undef receiveDatagrams
#undef sendDatagrams

#include "datagram_contract.h"

namespace gammaloop::test {

namespace {

const bool registered = [] {
  DatagramContract("datagrams, one by one", receiveOneByOne, sendOneByOne).registerAll();
  return true;
}();

}  // namespace

}  // namespace gammaloop::test
