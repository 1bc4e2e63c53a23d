@echo off
rem Installs what updates.txt names, one file a line, restarting where one asks for it; then setup.ps1.
setlocal
set place=%~dp0
if not exist "%place%done" mkdir "%place%done"
if not exist "%place%updates.txt" goto prepared
for /f "usebackq delims=" %%u in ("%place%updates.txt") do (
  if not exist "%place%done\%%u" (
    call :install "%%u"
    if errorlevel 1 exit /b 1
  )
)
:prepared
powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass -File "%place%setup.ps1"
exit /b %errorlevel%

:install
echo pvhck stage updates: %~1>COM1
if /i "%~x1"==".msu" goto msu
start "" /wait "%place%updates\%~1" /q /norestart
goto installed
:msu
start "" /wait wusa.exe "%place%updates\%~1" /quiet /norestart
:installed
set code=%errorlevel%
rem 3010 wants a restart (ERROR_SUCCESS_REBOOT_REQUIRED); 2359302 was there already (WU_S_ALREADY_INSTALLED)
if "%code%"=="0" goto noted
if "%code%"=="2359302" goto noted
if "%code%"=="3010" goto restart
if "%code%"=="1641" goto restart
rem not at the end: a digit before > would be taken for a handle
>COM1 echo pvhck stage failed: %~1 ended with %code%
exit /b 1
:restart
echo done>"%place%done\%~1"
shutdown.exe /r /t 0
rem nothing more in this start of Windows
exit /b 1
:noted
echo done>"%place%done\%~1"
exit /b 0
