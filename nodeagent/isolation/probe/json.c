/* JSON into memory, printed as one line when a section is complete. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "probe.h"

static FILE *out;
static char *text;
static size_t length;
static int first = 1;

void json_begin(const char *section)
{
    out = open_memstream(&text, &length);
    if (out == NULL)
        exit(1);
    first = 1;
    fputc('{', out);
    json_string("section", section);
    json_open("facts", '{');
}

void json_end(void)
{
    fputs("}}\n", out);
    fclose(out);
    fwrite(text, 1, length, stdout);
    fflush(stdout);
    free(text);
}

static void put(const char *value, size_t count)
{
    fputc('"', out);
    for (size_t i = 0; i < count; i++) {
        unsigned char c = (unsigned char)value[i];
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c == '\n')
            fputs("\\n", out);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\u%04x", c);
        else if (c >= 0x80)
            fputs("\\ufffd", out); /* what is compared here is ASCII */
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static void key_of(const char *key)
{
    if (!first)
        fputc(',', out);
    first = 0;
    if (key != NULL) {
        put(key, strlen(key));
        fputc(':', out);
    }
}

void json_open(const char *key, char bracket)
{
    key_of(key);
    fputc(bracket, out);
    first = 1;
}

void json_close(char bracket)
{
    fputc(bracket, out);
    first = 0;
}

void json_string(const char *key, const char *value) { json_bytes(key, value, strlen(value)); }

void json_bytes(const char *key, const char *value, size_t count)
{
    key_of(key);
    put(value, count);
}

void json_number(const char *key, long long value)
{
    key_of(key);
    fprintf(out, "%lld", value);
}

void json_real(const char *key, double value)
{
    key_of(key);
    fprintf(out, "%.6g", value);
}

void json_result(const char *key, long long result) { json_string(key, result < 0 ? error_name((int)-result) : "ok"); }
