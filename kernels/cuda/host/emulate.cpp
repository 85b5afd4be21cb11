// Runs a kernel's blocks one after the other on the CPU: emulate REQUEST RESULT; or lists the kernels: emulate.
//
// A request is, in this machine's byte order: the kernel's name, the grid's two sizes, threads and bytes of shared
// memory of a block, the seed of the threads' order, the arguments, and the memory that they point to as (address,
// bytes), each with its length before it. The result is that memory's bytes afterwards. What a kernel touches beyond is
// no memory, and ends the program.
#include "../attend_64.cu"
#include "../attend_128.cu"
#include "../attend_256.cu"
#include "../attend_hopper.cu"
#include "../elementwise.cu"

#include <sys/mman.h>
#include <unistd.h>

namespace {

using emulated::fail;

class Request {
  public:
    explicit Request(const char* path) : file(std::fopen(path, "rb")) {
        if (!file) fail("no such request");
    }
    ~Request() { std::fclose(file); }

    template <class V>
    V number() {
        V value;
        read(&value, sizeof value);
        return value;
    }

    std::vector<char> bytes() {
        std::vector<char> all(number<uint64_t>());
        read(all.data(), all.size());
        return all;
    }

    void read(void* to, size_t count) {
        if (std::fread(to, 1, count, file) != count) fail("the request is cut short");
    }

  private:
    FILE* file;
};

/// Memory at the address that the request gives it.
struct Memory {
    char* start;
    size_t length;

    static Memory of(Request& request) {
        const uint64_t address = request.number<uint64_t>(), length = request.number<uint64_t>();
        const uint64_t page = sysconf(_SC_PAGESIZE), from = address / page * page;
        void* wanted = reinterpret_cast<void*>(from);
        void* got = mmap(wanted, address - from + length, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
        if (got != wanted) fail("an address is taken");
        Memory memory{reinterpret_cast<char*>(address), length};
        request.read(memory.start, length);
        return memory;
    }
};

void run(const char* request_path, const char* result_path) {
    Request request(request_path);
    const auto name = request.bytes();
    const auto found = emulated::kernels().find(std::string(name.begin(), name.end()));
    if (found == emulated::kernels().end()) fail("no such kernel");
    const emulated::Kernel& kernel = found->second;
    const int grid_x = request.number<int>(), grid_y = request.number<int>();
    if (request.number<int>() != kernel.threads) fail("launched with another number of threads than it is made for");
    if (request.number<int>() != kernel.shared) fail("launched with another size of shared memory than it uses");
    const int seed = request.number<int>();
    const auto arguments = request.bytes();
    if (static_cast<int>(arguments.size()) != kernel.argument_bytes) fail("arguments of another size");
    std::vector<Memory> memory(request.number<uint64_t>());
    for (Memory& each : memory) each = Memory::of(request);

    for (int y = 0; y < grid_y; y++) {
        for (int x = 0; x < grid_x; x++) emulated::run_block(kernel, arguments.data(), x, y, grid_x, seed);
    }

    FILE* result = std::fopen(result_path, "wb");
    if (!result) fail("the result cannot be written");
    for (const Memory& each : memory) std::fwrite(each.start, 1, each.length, result);
    if (std::fclose(result)) fail("the result cannot be written");
}

}  // namespace

int main(int count, char** arguments) {
    if (count == 3) {
        run(arguments[1], arguments[2]);
    } else {
        for (const auto& [name, kernel] : emulated::kernels()) {
            std::printf("%s %d %d %d\n", name.c_str(), kernel.threads, kernel.shared, kernel.argument_bytes);
        }
    }
}
