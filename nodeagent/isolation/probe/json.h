/* The line of one section: begun before it, printed after it. */
#ifndef JSON_H
#define JSON_H

void json_begin(const char *section);
void json_end(void);

#endif
