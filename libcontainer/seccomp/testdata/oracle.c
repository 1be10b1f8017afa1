/* Prints the filters that libseccomp makes, for comparison. Commands on standard input, one a line, numbers in hex:
 *   begin NATIVE DEFAULT        a filter for a machine whose native architecture token is NATIVE
 *   arch TOKEN
 *   rule ACTION NAME N (ARG OP A B)*
 *   end                         answer: "ok BYTES\n" and the program, or "error STAGE ERRNO\n"
 *   number TOKEN NAME           answer: "number N\n", decimal, negative if the architecture has no such call
 */
#define _GNU_SOURCE
#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int add_rule(scmp_filter_ctx ctx, char *line)
{
	struct scmp_arg_cmp args[6];
	unsigned action, n;
	char name[64];
	int used;

	if (sscanf(line, "rule %x %63s %x%n", &action, name, &n, &used) != 3 || n > 6)
		return -EBADMSG;
	for (unsigned i = 0; i < n; i++) {
		unsigned arg, op;
		unsigned long long a, b;
		int more;

		if (sscanf(line + used, "%x %x %llx %llx%n", &arg, &op, &a, &b, &more) != 4)
			return -EBADMSG;
		used += more;
		args[i] = (struct scmp_arg_cmp){ arg, (enum scmp_compare)op, a, b };
	}
	int nr = seccomp_syscall_resolve_name(name);
	if (nr == __NR_SCMP_ERROR)
		return 0;
	return seccomp_rule_add_array(ctx, action, nr, n, args);
}

/*
 * The filter is a tree by call number, as runc asks for from 33 rules on: in its linear form libseccomp 2.5 forgets to
 * load the number when the first call of its list is one that the architecture does not have.
 */
static int begin(scmp_filter_ctx *ctx, unsigned native, unsigned action)
{
	int rc;

	*ctx = seccomp_init(action);
	if (!*ctx)
		return -EINVAL;
	rc = seccomp_attr_set(*ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	if (rc == 0 && native != seccomp_arch_native()) {
		rc = seccomp_arch_remove(*ctx, SCMP_ARCH_NATIVE);
		if (rc == 0)
			rc = seccomp_arch_add(*ctx, native);
	}
	return rc;
}

static void finish(scmp_filter_ctx ctx, const char *stage, int rc)
{
	int fd = -1;
	off_t size = 0;

	if (rc == 0) {
		stage = "export";
		fd = memfd_create("bpf", MFD_CLOEXEC);
		rc = fd < 0 ? -errno : seccomp_export_bpf(ctx, fd);
	}
	if (rc != 0) {
		printf("error %s %d\n", stage, -rc);
	} else {
		char buf[65536];

		size = lseek(fd, 0, SEEK_END);
		if (size > (off_t)sizeof(buf) || pread(fd, buf, size, 0) != size)
			exit(3);
		printf("ok %lld\n", (long long)size);
		fwrite(buf, 1, size, stdout);
	}
	fflush(stdout);
	if (fd >= 0)
		close(fd);
}

int main(void)
{
	static char line[65536];
	scmp_filter_ctx ctx = NULL;
	const char *stage = "";
	int rc = 0;

	while (fgets(line, sizeof(line), stdin)) {
		unsigned a, b;
		char name[64];

		if (sscanf(line, "begin %x %x", &a, &b) == 2) {
			stage = "begin";
			rc = begin(&ctx, a, b);
		} else if (sscanf(line, "number %x %63s", &a, name) == 2) {
			printf("number %d\n", seccomp_syscall_resolve_name_arch(a, name));
			fflush(stdout);
		} else if (sscanf(line, "arch %x", &a) == 1) {
			if (rc == 0) {
				stage = "arch";
				rc = seccomp_arch_add(ctx, a);
				if (rc == -EEXIST)
					rc = 0;
			}
		} else if (strncmp(line, "rule ", 5) == 0) {
			if (rc == 0) {
				stage = "rule";
				rc = add_rule(ctx, line);
			}
		} else if (strncmp(line, "end", 3) == 0) {
			finish(ctx, stage, rc);
			if (ctx)
				seccomp_release(ctx);
			ctx = NULL;
			rc = 0;
		} else {
			return 2;
		}
	}
	return 0;
}
