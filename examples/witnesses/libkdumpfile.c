/*
 * The same dumps, read by libkdumpfile.
 *
 *   libkdumpfile lime FILE... >OUT        writes all pages that it can read as a LiME image
 *   libkdumpfile time ROUNDS PAGES FILE   reads the pages whose addresses are the lines of PAGES, in that order, in
 *                                         each of ROUNDS rounds with the file opened anew; prints the median
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libkdumpfile/kdumpfile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { PAGE = 4096, MOST_FILES = 16 };

static void die(const char *what, const char *why)
{
	fprintf(stderr, "libkdumpfile: %s: %s\n", what, why);
	exit(2);
}

static kdump_ctx_t *open_files(int count, char **names)
{
	int files[MOST_FILES];
	kdump_ctx_t *dump = kdump_new();

	if (!dump || count > MOST_FILES)
		die("kdump_new", "expected memory for it, and at most 16 files");
	for (int i = 0; i < count; i++)
		if ((files[i] = open(names[i], O_RDONLY)) < 0)
			die(names[i], strerror(errno));
	if (kdump_open_fdset(dump, count, files) != KDUMP_OK)
		die(names[0], kdump_get_err(dump));
	return dump;
}

/* What is not stored is left out; all else that can't be read is an error. */
static int read_page(kdump_ctx_t *dump, uint64_t addr, char *page)
{
	size_t size = PAGE;
	kdump_status status = kdump_read(dump, KDUMP_MACHPHYSADDR, addr, page, &size);
	char place[32];

	if (status == KDUMP_OK && size == PAGE)
		return 1;
	if (status == KDUMP_ERR_NODATA)
		return 0;
	snprintf(place, sizeof(place), "page %#" PRIx64, addr);
	die(place, kdump_get_err(dump));
	return 0;
}

static void write_lime(kdump_ctx_t *dump)
{
	kdump_num_t frames;
	char page[PAGE];

	if (kdump_get_number_attr(dump, "max_pfn", &frames) != KDUMP_OK)
		die("max_pfn", kdump_get_err(dump));
	for (uint64_t addr = 0; addr < frames * PAGE; addr += PAGE) {
		/* The magic number and the version share the first word. */
		uint64_t header[4] = { 0x14c694d45, addr, addr + PAGE - 1, 0 };

		if (read_page(dump, addr, page)
		    && (fwrite(header, sizeof(header), 1, stdout) != 1 || fwrite(page, PAGE, 1, stdout) != 1))
			die("stdout", strerror(errno));
	}
	if (fflush(stdout))
		die("stdout", strerror(errno));
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void measure(int rounds, const char *list, char **name)
{
	FILE *lines = fopen(list, "r");
	size_t count = 0, room = 1 << 20;
	uint64_t *addrs = malloc(room * sizeof(*addrs));
	double *times = malloc(rounds * sizeof(*times));
	char page[PAGE];

	if (!lines || !addrs || !times)
		die(list, strerror(errno));
	while (count < room && fscanf(lines, "%" SCNx64, &addrs[count]) == 1)
		count++;
	fclose(lines);
	for (int round = 0; round < rounds; round++) {
		kdump_ctx_t *dump = open_files(1, name);
		struct timespec start, end;

		/* What is set up at the first page is not measured. */
		read_page(dump, addrs[0], page);
		clock_gettime(CLOCK_MONOTONIC, &start);
		for (size_t i = 0; i < count; i++)
			if (!read_page(dump, addrs[i], page))
				die(list, "expected pages that the dump holds");
		clock_gettime(CLOCK_MONOTONIC, &end);
		times[round] = (end.tv_sec - start.tv_sec) * 1e9 + (end.tv_nsec - start.tv_nsec);
		kdump_free(dump);
	}
	qsort(times, rounds, sizeof(*times), by_size);
	printf("{\"measure\":\"libkdumpfile reads table pages\",\"pages\":%zu,\"ns\":%.0f}\n", count, times[rounds / 2]);
}

int main(int count, char **arguments)
{
	if (count > 2 && !strcmp(arguments[1], "lime"))
		write_lime(open_files(count - 2, arguments + 2));
	else if (count == 5 && !strcmp(arguments[1], "time") && atoi(arguments[2]) > 0)
		measure(atoi(arguments[2]), arguments[3], arguments + 4);
	else
		die("usage", "libkdumpfile lime FILE... | time ROUNDS PAGES FILE");
	return 0;
}
