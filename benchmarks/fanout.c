/* The floor for the relay's benchmark: the least a fan-out can do.
 *
 *   fanout LISTEN_PORT UPSTREAM_PORT [CHANNELS]
 *
 * One epoll loop on 127.0.0.1. A client asks for /N and gets channel N. Reads one upstream for each channel into a chunk
 * of 64 KB and gives each full chunk to every client with one send(). No ring, no alignment, no joins in mid-stream, no
 * slow clients: what does not fit is lost. Linux only. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CHUNK = 65536, MAX_CLIENTS = 4096, MAX_CHANNELS = 400 };

struct channel {
    int upstream, filled, count;
    int clients[MAX_CLIENTS];
    char chunk[CHUNK];
};

static const char ANSWER[] = "HTTP/1.1 200 OK\r\nContent-Type: video/mp2t\r\nConnection: close\r\n\r\n";

static struct sockaddr_in loopback(int port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    return at;
}

static void must(int result, const char *what) {
    if (result < 0) {
        perror(what);
        exit(1);
    }
}

static void watch(int poller, int fd) {
    struct epoll_event wanted = {.events = EPOLLIN, .data = {.fd = fd}};
    must(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &wanted), "epoll_ctl");
}

static void carry(struct channel *one) {
    ssize_t got = recv(one->upstream, one->chunk + one->filled, CHUNK - one->filled, 0);
    if (got <= 0)
        exit(0);
    one->filled += got;
    if (one->filled < CHUNK)
        return;
    one->filled = 0;
    for (int k = 0; k < one->count; k++)
        if (send(one->clients[k], one->chunk, CHUNK, MSG_NOSIGNAL) < 0 && errno != EAGAIN) {
            close(one->clients[k]);
            one->clients[k--] = one->clients[--one->count];
        }
}

int main(int argc, char **argv) {
    static char request[4096];
    int yes = 1, channels = argc == 4 ? atoi(argv[3]) : 1;
    if (argc < 3 || channels < 1 || channels > MAX_CHANNELS)
        return 2;
    struct channel *all = calloc(channels, sizeof *all);
    static struct channel *by_fd[65536];
    int poller = epoll_create1(0), listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in here = loopback(atoi(argv[1])), there = loopback(atoi(argv[2]));
    must(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes), "setsockopt");
    must(bind(listener, (struct sockaddr *)&here, sizeof here), "bind");
    must(listen(listener, 1024), "listen");
    watch(poller, listener);
    for (int n = 0; n < channels; n++) {
        int length = snprintf(request, sizeof request, "GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n", n);
        must(all[n].upstream = socket(AF_INET, SOCK_STREAM, 0), "socket");
        must(connect(all[n].upstream, (struct sockaddr *)&there, sizeof there), "connect");
        must(send(all[n].upstream, request, length, 0), "send");
        by_fd[all[n].upstream] = &all[n];
        watch(poller, all[n].upstream);
    }
    for (;;) {
        struct epoll_event news[64];
        int n = epoll_wait(poller, news, 64, -1);
        for (int i = 0; i < n; i++) {
            int fd = news[i].data.fd, wanted = 0;
            if (fd == listener) {
                int client = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
                if (client >= 0)
                    watch(poller, client);
            } else if (by_fd[fd]) {
                carry(by_fd[fd]);
            } else { /* a request: answered whole or not at all */
                must(epoll_ctl(poller, EPOLL_CTL_DEL, fd, NULL), "epoll_ctl");
                ssize_t got = recv(fd, request, sizeof request - 1, 0);
                if (got > 0) {
                    request[got] = 0;
                    sscanf(request, "GET /%d", &wanted);
                }
                struct channel *one = &all[wanted < channels && wanted >= 0 ? wanted : 0];
                if (got > 0 && one->count < MAX_CLIENTS && send(fd, ANSWER, sizeof ANSWER - 1, MSG_NOSIGNAL) > 0)
                    one->clients[one->count++] = fd;
                else
                    close(fd);
            }
        }
    }
}
