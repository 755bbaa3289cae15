/*
 * The words of a command line: what they are, and what each option's value is. Options are collected first and applied once
 * the command is known, since they may stand before it; what each of them means is the table's business (fs/conf_option.c).
 */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fs/conf_mount.h"
#include "fs/conf_option.h"
#include "fs/conf_value.h"
#include "fs/explain.h"

#define LONG_BASE 256 /* getopt's values of long options, above every letter */

/* One option as it was typed. */
struct typed {
    const struct conf_option *option; /* NULL: -o, value is its list */
    const char *value;                /* NULL: none */
};

struct parser {
    struct conf *conf;
    struct conf_error *error;
    struct option *longs;
    struct typed *typed;
    size_t typed_count, typed_capacity;
    bool sloppy; /* a mount helper's -s */
};

/* Letters. For rclone's commands they are rclone's; umount has its own -f and -l, and mount helpers what mount(8) gives them. */
struct letter {
    char letter;
    const char *name; /* of a long option; NULL: a helper's, handled by itself */
};
static const struct letter rclone_letters[] = {
    { 'v', "verbose" }, { 'q', "quiet" },        { 'h', "help" },        { 'V', "version" },  { 'c', "checksum" }, { 'n', "dry-run" },
    { 'f', "filter" },  { 'I', "ignore-times" }, { 'i', "interactive" }, { 'M', "metadata" }, { 'P', "progress" }, { 'u', "update" },
};
static const struct letter umount_letters[] = {
    { 'v', "verbose" }, { 'q', "quiet" }, { 'h', "help" }, { 'l', "lazy" }, { 'f', "force" }, { 'n', NULL }, { 'r', NULL },
};
static const struct letter helper_letters[] = {
    { 'h', "help" }, { 'f', NULL }, { 'n', NULL }, { 's', NULL }, { 'v', NULL },
};

static int no_memory(struct conf_error *error)
{
    return conf_fail(error, -ENOMEM, EXIT_MACHINE, "out of memory");
}

static int add_note(struct conf *conf, const char *format, ...) __attribute__((format(printf, 2, 3)));
static int add_note(struct conf *conf, const char *format, ...)
{
    char *note;
    va_list list;

    va_start(list, format);
    int length = vasprintf(&note, format, list);
    va_end(list);
    if (length < 0)
        return -ENOMEM;
    for (size_t i = 0; i < conf->note_count; i++) {
        if (!strcmp(conf->notes[i], note)) {
            free(note);
            return 0;
        }
    }
    char **notes = reallocarray(conf->notes, conf->note_count + 1, sizeof *notes);
    if (!notes) {
        free(note);
        return -ENOMEM;
    }
    conf->notes = notes;
    notes[conf->note_count++] = note;
    return 0;
}

/* ---- values ---- */

union value {
    bool flag;
    int number;
    int64_t wide;
    uint64_t size;
    double real;
    mode_t mode;
};

static const char *const form_names[] = {
    [FORM_FLAG] = "true or false",
    [FORM_COUNT] = "a small number",
    [FORM_DURATION] = "a duration (1s, 500ms, 1m30s, 0, off)",
    [FORM_SIZE] = "a size (64M, 10Gi, off)",
    [FORM_INTEGER] = "a number",
    [FORM_NUMBER] = "a number",
    [FORM_ID] = "a numeric user or group id",
    [FORM_OCTAL] = "permissions in octal (0644)",
    [FORM_UMASK] = "a umask in octal with a leading 0 (022)",
};

static int parse_choice(const char *words, const char *text, int *index)
{
    size_t length = strlen(text);

    for (int i = 0;; i++) {
        size_t word = strcspn(words, "|");
        if (word == length && !strncasecmp(words, text, length)) {
            *index = i;
            return 0;
        }
        if (!words[word])
            return -EINVAL;
        words += word + 1;
    }
}

static int parse_value(const struct conf_option *option, const char *text, union value *value)
{
    int64_t wide;

    switch (option->form) {
    case FORM_FLAG:
        return conf_value_flag(text, &value->flag);
    case FORM_COUNT:
        if (conf_value_integer(text, &wide) || wide < 0 || wide > 9)
            return -EINVAL;
        value->number = (int)wide;
        return 0;
    case FORM_DURATION:
        return conf_value_duration(text, &value->wide);
    case FORM_SIZE:
        return conf_value_size(text, &value->size);
    case FORM_INTEGER:
        return conf_value_integer(text, &value->wide);
    case FORM_NUMBER:
        return conf_value_number(text, &value->real);
    case FORM_ID:
        return conf_value_id(text, &value->wide);
    case FORM_OCTAL:
        return conf_value_octal(text, &value->mode);
    case FORM_UMASK:
        return conf_value_umask(text, &value->mode);
    case FORM_CHOICE:
        return parse_choice(option->words, text, &value->number);
    case FORM_STRING:
    case FORM_PATH:
        return 0;
    }
    return -EINVAL;
}

/* Is text rclone's default of a refused option? text is valid. */
static bool is_standard(const struct conf_option *option, const char *text)
{
    union value given, standard;

    if (option->form == FORM_STRING)
        return !*text || !strcmp(text, option->standard);
    if (parse_value(option, text, &given) || parse_value(option, option->standard, &standard))
        return false;
    switch (option->form) {
    case FORM_FLAG:
        return given.flag == standard.flag;
    case FORM_SIZE:
        return given.size == standard.size;
    case FORM_DURATION:
    case FORM_INTEGER:
        return given.wide == standard.wide;
    default:
        return false;
    }
}

static int store(struct conf *conf, const struct conf_option *option, const char *text, const union value *value)
{
    char *where = (option->given ? (char *)conf->given : (char *)conf) + option->offset;
    bool flag;
    char *copy;

    switch (option->form) {
    case FORM_FLAG:
        flag = value->flag != option->inverted;
        memcpy(where, &flag, sizeof flag);
        return 0;
    case FORM_COUNT:
    case FORM_CHOICE:
        memcpy(where, &value->number, sizeof value->number);
        return 0;
    case FORM_DURATION:
    case FORM_INTEGER:
    case FORM_ID:
        memcpy(where, &value->wide, sizeof value->wide);
        return 0;
    case FORM_SIZE:
        memcpy(where, &value->size, sizeof value->size);
        return 0;
    case FORM_NUMBER:
        memcpy(where, &value->real, sizeof value->real);
        return 0;
    case FORM_OCTAL:
    case FORM_UMASK:
        memcpy(where, &value->mode, sizeof value->mode);
        return 0;
    case FORM_STRING:
    case FORM_PATH:
        break;
    }
    /* Empty counts as not given, everywhere. */
    copy = *text ? strdup(text) : NULL;
    if (*text && (!copy || (option->form == FORM_PATH && conf_absolute(&copy)))) {
        free(copy);
        return -ENOMEM;
    }
    free(*(char **)(void *)where);
    *(char **)(void *)where = copy;
    return 0;
}

static int apply(struct parser *p, const struct conf_option *option, const char *text)
{
    struct conf *conf = p->conf;
    union value value = { .wide = 0 };

    if (!text) {
        if (option->form == FORM_FLAG) {
            text = "true";
        } else if (option->form == FORM_COUNT) {
            conf->given->verbose++;
            return 0;
        } else {
            return conf_fail(p->error, -EINVAL, EXIT_USAGE, "option --%s needs a value", option->name);
        }
    }
    if (parse_value(option, text, &value)) {
        const char *wanted = option->form == FORM_CHOICE ? option->words : form_names[option->form];
        return conf_fail(p->error, -EINVAL, EXIT_USAGE, "option --%s: '%s' is not %s%s", option->name, text,
                         option->form == FORM_CHOICE ? "one of " : "", wanted);
    }
    switch (option->meaning) {
    case MEANS_NOTHING:
        return 0;
    case MEANS_NO:
        if (is_standard(option, text))
            return 0;
        return conf_fail(p->error, -EINVAL, EXIT_USAGE, "option --%s %s; r2fs does not take it", option->name, option->text);
    case MEANS_VALUE:
        if (option->commands & 1u << conf->command)
            return store(conf, option, text, &value) ? no_memory(p->error) : 0;
        if (!option->elsewhere)
            return conf_fail(p->error, -EINVAL, EXIT_USAGE, "r2fs %s takes no option --%s", conf_command_name(conf->command),
                             option->name);
        break;
    case MEANS_NOTE:
        break;
    }
    return add_note(conf, "option --%s has no meaning in r2fs and is ignored", option->name) ? no_memory(p->error) : 0;
}

/* One NAME or NAME=VALUE of -o. */
static int apply_word(struct parser *p, char *word)
{
    char *value = strchr(word, '='), name[64];
    const struct conf_option *option;
    size_t i;

    if (value)
        *value++ = '\0';
    enum conf_word meaning = conf_mount_word(word);
    if (p->conf->command != CONF_MOUNT && meaning != CONF_WORD_UNKNOWN)
        return 0;
    switch (meaning) {
    case CONF_WORD_IGNORED:
        return 0;
    case CONF_WORD_NOTED:
        return add_note(p->conf, "mount option %s has no meaning in r2fs and is ignored", word) ? no_memory(p->error) : 0;
    case CONF_WORD_NOT_APPLIED:
        return add_note(p->conf, "mount option %s is not applied: the mount is always nosuid and nodev", word) ? no_memory(p->error) : 0;
    case CONF_WORD_REFUSED:
        return conf_fail(p->error, -EINVAL, EXIT_USAGE, "mount option %s is not possible; unmount and mount again", word);
    case CONF_WORD_SET:
        return conf_mount_set(p->conf, word, value) ? no_memory(p->error) : 0;
    case CONF_WORD_UNKNOWN:
        break;
    }
    for (i = 0; i < sizeof name - 1 && word[i]; i++)
        name[i] = word[i] == '_' ? '-' : word[i];
    name[i] = '\0';
    option = conf_option_find(name);
    if (option)
        return apply(p, option, value);
    if (p->sloppy)
        return add_note(p->conf, "mount option %s is unknown and is ignored", word) ? no_memory(p->error) : 0;
    return conf_fail(p->error, -EINVAL, EXIT_USAGE, "unknown option -o %s; see r2fs %s --help", word,
                     conf_command_name(p->conf->command));
}

/* NAME[=VALUE],… ; a comma or backslash in a value has a backslash before it, as libfuse has it. */
static int apply_words(struct parser *p, const char *list)
{
    char *copy = strdup(list), *from, *to, *word;
    int r = 0;

    if (!copy)
        return no_memory(p->error);
    for (from = to = word = copy; !r; from++) {
        if (*from == '\\' && from[1]) {
            *to++ = *++from;
        } else if (*from == ',' || !*from) {
            bool last = !*from;
            *to = '\0';
            if (*word)
                r = apply_word(p, word);
            if (last)
                break;
            to = word = from + 1;
        } else {
            *to++ = *from;
        }
    }
    free(copy);
    return r;
}

/* ---- collecting ---- */

static int remember(struct parser *p, const struct conf_option *option, const char *value)
{
    if (p->typed_count == p->typed_capacity) {
        size_t capacity = p->typed_capacity ? 2 * p->typed_capacity : 32;
        struct typed *grown = reallocarray(p->typed, capacity, sizeof *grown);
        if (!grown)
            return no_memory(p->error);
        p->typed = grown;
        p->typed_capacity = capacity;
    }
    p->typed[p->typed_count++] = (struct typed) { option, value };
    return 0;
}

/* The table in getopt's form, and `option`, rclone's long name of -o. */
static int make_longs(struct parser *p)
{
    p->longs = calloc(conf_option_count + 2, sizeof *p->longs);
    if (!p->longs)
        return no_memory(p->error);
    for (size_t i = 0; i < conf_option_count; i++) {
        enum conf_form form = conf_option_table[i].form;
        p->longs[i].name = conf_option_table[i].name;
        p->longs[i].has_arg = form == FORM_FLAG || form == FORM_COUNT ? optional_argument : required_argument;
        p->longs[i].val = LONG_BASE + (int)i;
    }
    p->longs[conf_option_count].name = "option";
    p->longs[conf_option_count].has_arg = required_argument;
    p->longs[conf_option_count].val = 'o';
    return 0;
}

/* getopt_long takes an unambiguous beginning for a name; then `--exclu` would mean something, and another thing after a
 * new option came. Names are typed whole. */
static bool typed_whole(const char *name, char *const argv[])
{
    const char *word = optarg && optarg == argv[optind - 1] ? argv[optind - 2] : argv[optind - 1];
    size_t length = strlen(name);

    return !strncmp(word, "--", 2) && !strncmp(word + 2, name, length) && (word[2 + length] == '\0' || word[2 + length] == '=');
}

static int take_letter(struct parser *p, int c, const struct letter *letters, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (letters[i].letter != c)
            continue;
        if (letters[i].name)
            return remember(p, conf_option_find(letters[i].name), optarg);
        if (c == 'f')
            p->conf->fake = true;
        if (c == 's')
            p->sloppy = true;
        return 0;
    }
    return 0; /* -t TYPE and -N NAMESPACE of mount(8), which say nothing new */
}

/* Options of argv[1 …] until its first other word (stop), or all of it, moving other words to the end; optind says where
 * these begin. */
static int collect(struct parser *p, int argc, char *argv[], bool stop, const struct letter *letters, size_t count)
{
    char shorts[64];
    size_t n = 0;
    int c, index;

    if (stop)
        shorts[n++] = '+';
    shorts[n++] = ':';
    for (size_t i = 0; i < count; i++) {
        shorts[n++] = letters[i].letter;
        if (letters[i].name && !strcmp(letters[i].name, "filter"))
            shorts[n++] = ':';
    }
    snprintf(shorts + n, sizeof shorts - n, "%s", p->conf->helper ? "wo:t:N:" : "o:");
    optind = 0;
    opterr = 0;
    while ((c = getopt_long(argc, argv, shorts, p->longs, &index)) != -1) {
        int r;
        if (c == '?') {
            bool letter = optopt && optopt < LONG_BASE;
            const char *word = argv[optind - 1];
            return letter ? conf_fail(p->error, -EINVAL, EXIT_USAGE, "unknown option -%c; see r2fs --help", optopt)
                          : conf_fail(p->error, -EINVAL, EXIT_USAGE, "unknown option %.*s; see r2fs --help", (int)strcspn(word, "="), word);
        }
        if (c == ':')
            return conf_fail(p->error, -EINVAL, EXIT_USAGE, "option %s needs a value", argv[optind - 1]);
        if (c >= LONG_BASE) {
            if (!typed_whole(p->longs[index].name, argv))
                return conf_fail(p->error, -EINVAL, EXIT_USAGE, "unknown option %s; see r2fs --help", argv[optind - 1]);
            r = remember(p, &conf_option_table[c - LONG_BASE], optarg);
        } else if (c == 'o') {
            r = remember(p, NULL, optarg);
        } else {
            r = take_letter(p, c, letters, count);
        }
        if (r)
            return r;
    }
    return 0;
}

/* Finds the command and all options. *words are what is neither. */
static int collect_all(struct parser *p, int argc, char *argv[], char ***words, int *count)
{
    struct conf *conf = p->conf;
    const char *slash = argv[0] ? strrchr(argv[0], '/') : NULL;
    const char *name = slash ? slash + 1 : argv[0] ? argv[0] : "";
    int r;

    if (!strcmp(name, "mount.r2fs") || !strcmp(name, "mount.fuse.r2fs")) {
        conf->helper = true;
        conf->command = CONF_MOUNT;
        r = collect(p, argc, argv, false, helper_letters, sizeof helper_letters / sizeof helper_letters[0]);
    } else if (!strcmp(name, "umount.r2fs") || !strcmp(name, "umount.fuse.r2fs")) {
        conf->helper = true;
        conf->command = CONF_UMOUNT;
        r = collect(p, argc, argv, false, umount_letters, sizeof umount_letters / sizeof umount_letters[0]);
    } else {
        r = collect(p, argc, argv, true, rclone_letters, sizeof rclone_letters / sizeof rclone_letters[0]);
        if (r || optind >= argc) {
            *words = NULL;
            *count = 0;
            return r;
        }
        conf->command = conf_command_find(argv[optind]);
        if (conf->command == CONF_COMMAND_COUNT) {
            conf->command = CONF_HELP;
            return conf_fail(p->error, -EINVAL, EXIT_USAGE, "unknown command %s; r2fs knows mount, umount, flush, status, ls and version",
                             argv[optind]);
        }
        argv += optind;
        argc -= optind;
        if (conf->command == CONF_UMOUNT)
            r = collect(p, argc, argv, false, umount_letters, sizeof umount_letters / sizeof umount_letters[0]);
        else
            r = collect(p, argc, argv, false, rclone_letters, sizeof rclone_letters / sizeof rclone_letters[0]);
    }
    *words = argv + optind;
    *count = argc - optind;
    return r;
}

int conf_args_take(struct conf *conf, int argc, char *argv[], char ***words, int *count, struct conf_error *error)
{
    struct parser p = { .conf = conf, .error = error };
    int r = make_longs(&p);

    if (!r)
        r = collect_all(&p, argc, argv, words, count);
    for (size_t i = 0; i < p.typed_count && !r; i++)
        r = p.typed[i].option ? apply(&p, p.typed[i].option, p.typed[i].value) : apply_words(&p, p.typed[i].value);
    free(p.longs);
    free(p.typed);
    return r;
}
