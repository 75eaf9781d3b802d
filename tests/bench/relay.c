/*
 * A network with a delay, for kernels without sch_netem: everything sent to 10.9.0.2 comes back to this machine as if
 * 10.9.0.2 had sent it, later. A client of 10.9.0.2 so reaches the server on 10.9.0.1, and every packet of the
 * connection, the handshake's first included, is underway for the delay. What is sent to 10.9.0.3 is lost. To be run in a network namespace of its own.
 *
 *   relay ONE_WAY_MS
 *
 * Prints "ready" when packets may come, and ends by the first signal. Exchanging the two addresses leaves every
 * checksum as it was: they are sums, and both addresses are in them.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { PACKETS = 4096, LARGEST = 1500 };

struct packet {
    long long due;
    ssize_t length;
    unsigned char bytes[LARGEST];
};

static struct packet underway[PACKETS];
static unsigned first, next;

static long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void set_address(int socket, struct ifreq *request, unsigned long what, const char *address)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&request->ifr_addr;
    memset(in, 0, sizeof *in);
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = inet_addr(address);
    if (ioctl(socket, what, request) != 0)
        perror("relay: address");
}

static int open_tun(void)
{
    struct ifreq request = { .ifr_name = "delay0", .ifr_flags = IFF_TUN | IFF_NO_PI };
    int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC), any = socket(AF_INET, SOCK_DGRAM, 0);
    if (tun < 0 || any < 0 || ioctl(tun, TUNSETIFF, &request) != 0)
        return -1;
    set_address(any, &request, SIOCSIFADDR, "10.9.0.1");
    set_address(any, &request, SIOCSIFNETMASK, "255.255.255.0");
    request.ifr_flags = IFF_UP | IFF_RUNNING;
    if (ioctl(any, SIOCSIFFLAGS, &request) != 0)
        return -1;
    close(any);
    return tun;
}

static void take_in(int tun, long long delay)
{
    while (next - first < PACKETS) {
        struct packet *packet = &underway[next % PACKETS];
        packet->length = read(tun, packet->bytes, LARGEST);
        if (packet->length <= 0)
            return;
        packet->due = now() + delay;
        /* Anything but IPv4 is the kernel's own talk, such as router solicitations. */
        if (packet->length >= 20 && packet->bytes[0] >> 4 == 4 && packet->bytes[19] != 3)
            next++;
    }
}

static void exchange_addresses(unsigned char *bytes)
{
    unsigned char source[4];
    memcpy(source, bytes + 12, 4);
    memcpy(bytes + 12, bytes + 16, 4);
    memcpy(bytes + 16, source, 4);
}

static void hand_out(int tun)
{
    for (; first != next && underway[first % PACKETS].due <= now(); first++) {
        struct packet *packet = &underway[first % PACKETS];
        exchange_addresses(packet->bytes);
        if (write(tun, packet->bytes, packet->length) < 0)
            perror("relay: write");
    }
}

static void wait_for_work(int tun)
{
    struct pollfd ready = { tun, POLLIN, 0 };
    struct timespec time = { 0, 0 };
    long long left = first == next ? 0 : underway[first % PACKETS].due - now();
    time.tv_nsec = left > 0 ? left % 1000000000 : 0;
    time.tv_sec = left > 0 ? left / 1000000000 : 0;
    ppoll(&ready, 1, first == next ? NULL : &time, NULL);
}

int main(int count, char **words)
{
    long long delay = count == 2 ? atol(words[1]) * 1000000LL : 0;
    int tun = open_tun();
    if (tun < 0) {
        perror("relay: /dev/net/tun");
        return 1;
    }
    puts("ready");
    fflush(stdout);
    for (;;) {
        wait_for_work(tun);
        take_in(tun, delay);
        hand_out(tun);
    }
}
