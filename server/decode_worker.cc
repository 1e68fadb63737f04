#include "server/isolation/picture_message.h"
#include "server/isolation/worker.h"

int main(int argc, char** argv) { return pixpool::RunWorker(argc, argv, &pixpool::AnswerPicture); }
