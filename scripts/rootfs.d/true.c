/* The smallest program that ends well: what a benchmark runs so that only the runtime is measured. */
int main(void)
{
	return 0;
}
